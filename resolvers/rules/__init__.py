"""Rules of single values: what a configuration, a schedule or a text may be. Nothing here knows a row, a caller or a
connection.
"""
