"""The agents and the engine without a broker; `driver` runs them."""
