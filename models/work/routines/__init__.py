"""The language of routines: documents of typed steps, read from YAML or JSON. Each module is imported where it is used,
so that a process without routines loads none.
"""
