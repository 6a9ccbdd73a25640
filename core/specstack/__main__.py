"""`python -m specstack`: the program `specstack`, where its script is not installed."""

from specstack.cli.main import main

if __name__ == "__main__":
    main()
