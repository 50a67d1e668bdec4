"""Seeded rounds of faults on real processes: `python -m tests.faults`. docs/faults.md says what each does and checks."""
