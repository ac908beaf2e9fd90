"""One verdict with its reason, on a run, a task or a user: what `why` answers with."""
