"""Write the table of all cases anew: `python -m tests.conformance`."""

from tests.conformance.table import FILE, table

if __name__ == "__main__":
    FILE.write_text(table())
    print(f"{FILE} is written")
