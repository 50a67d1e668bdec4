"""Agent programs: started, watched, stopped, and found again after the hub's own end."""

from .launcher import Launcher

__all__ = ["Launcher"]
