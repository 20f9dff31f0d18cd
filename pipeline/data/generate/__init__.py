"""Criteo-shaped click logs from a planted model: python -m pipeline.data.generate"""
