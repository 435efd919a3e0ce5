"""Events that SDKs send: checked, put in the source topic's shape, and acknowledged before they are answered."""
