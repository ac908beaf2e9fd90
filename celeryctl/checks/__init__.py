"""What `doctor` looks at: many small checks, made at the same time within a few seconds."""
