"""What `up` runs on this machine when nothing else is there: servers, processes, source APIs."""
