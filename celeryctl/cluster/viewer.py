"""Makes Flower work for a user who may only read in the broker."""

from kombu.transport import TRANSPORT_ALIASES

from celeryctl.cluster.app import create_app
from celeryctl.cluster.listening import TRANSPORT

# Not by Celery's setting for it: Flower takes the scheme of the URL for the kind of broker. This process is Flower's.
TRANSPORT_ALIASES.update(redis=TRANSPORT, rediss=TRANSPORT)
app = create_app()
