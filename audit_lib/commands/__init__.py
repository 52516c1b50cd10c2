"""The commands that are more than one call of the library, one module each; `audit_lib.__main__` puts them together."""
