"""The only room that speaks HTTP: one client for all sources, patient with what passes, quick with what does not."""

from celeryctl.http.answers import Answer, Meter
from celeryctl.http.budget import Budget, RateBudget
from celeryctl.http.client import Client

__all__ = ["Answer", "Budget", "Client", "Meter", "RateBudget"]
