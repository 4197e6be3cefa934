"""Networks, plans and measurements, kept."""
