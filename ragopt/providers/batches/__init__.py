"""The providers' batch APIs: half the price, within a day instead of at once."""
