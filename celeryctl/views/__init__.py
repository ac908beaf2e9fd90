"""Data into Rich renderables and JSON documents: pure functions."""
