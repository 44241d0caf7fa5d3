"""The interpreter of routines, which knows no database and no network: what it records and reaches are parameters.
Each module is imported where it is used, so that a process without routines loads none.
"""
