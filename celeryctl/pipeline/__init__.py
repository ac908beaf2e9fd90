"""From a claimed batch to stored rows: fetch, decode, validate, store. Workers and --sync call the same."""
