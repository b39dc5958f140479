"""Real data and models for the first run: census records and three versions of one model."""
