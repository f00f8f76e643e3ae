"""How good the forecasts are on a year of real sales, beside the same libraries used directly."""
