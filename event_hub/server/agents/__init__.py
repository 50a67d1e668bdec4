"""Agent programs: started, supervised, stopped, and found again by the next hub. Start reading at `launcher.py`."""
