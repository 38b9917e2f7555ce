"""Faust agents: they decode, fold with `models`, store and tell. No rule about health is here."""
