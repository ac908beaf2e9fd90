"""Makes `python -m celeryctl` work."""

from celeryctl.cli.app import main

if __name__ == "__main__":
    main()
