"""Candidate plans and their ranking; pure Python over OpGraph."""
