"""The HDF5 file of a trace: its schema, writer, reader and checks."""
