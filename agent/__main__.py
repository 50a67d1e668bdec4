"""`python -m agent`."""

if __name__ == "__main__":  # job processes import this module again, under another name
    from .cli import main

    main()
