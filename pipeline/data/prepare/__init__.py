"""Raw click logs → prepared Parquet: python -m pipeline.data.prepare"""
