"""Import of the data directory of the public Go server: its SQLite database, its conversations and its files."""
