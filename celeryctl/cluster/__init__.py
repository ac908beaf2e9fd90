"""The only room that imports Celery: the app, its tasks, beat, heartbeats, what waits in the broker."""
