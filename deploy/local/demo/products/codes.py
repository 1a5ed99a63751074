"""Article numbers with valid check digits and leading zeros, which spreadsheets tend to drop."""


def ean13(digits: int) -> str:
    """A GTIN-13: up to twelve digits and the check digit (GS1 General Specifications, 7.9)."""
    body = f"{digits:012d}"
    weighted = sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(body))
    return f"{body}{-weighted % 10}"


def isbn13(number: int) -> str:
    """An ISBN: a GTIN-13 with the prefix 978."""
    return ean13(978_000_000_000 + number % 1_000_000_000)
