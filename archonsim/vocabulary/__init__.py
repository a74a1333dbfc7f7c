"""The words of reports: kinds of data, stall causes, owners of cycles, components."""
