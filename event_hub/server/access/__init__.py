"""Who may do what: origins and principals."""
