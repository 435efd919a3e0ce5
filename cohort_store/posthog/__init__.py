"""PostHog's forms, turned into Muster's: parsed JSON in, plain definitions and warnings out. Pure."""
