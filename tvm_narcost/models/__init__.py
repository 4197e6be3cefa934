"""The predictors: each one a LatencyModel."""
