"""What the results mean, in numbers: pure functions of History. pandas and SciPy load when first used."""
