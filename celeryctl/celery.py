"""Makes plain `celery -A celeryctl …` work."""

from celeryctl.cluster.app import create_app

app = create_app()
