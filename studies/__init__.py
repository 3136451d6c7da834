"""The record of studies, and the command that makes the tables and figures of the docs from it."""
