"""Who is on the line: what a request shows of itself, before anything is looked up."""
