"""Numbers and JSON that reads get wrong."""

WHOLE = [0, 1, -1, 2**31 - 1, -(2**31), 4096]
FLOATS = [2.0, 0.1, 1 / 3, 1e-300, 1e300, -0.0, 123456.789]
JSON = [[], ["a.example", "*.b.example"], ['"q"', "☃", "\\"]]
