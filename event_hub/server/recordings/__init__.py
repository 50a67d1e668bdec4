"""What agents upload with LIVEKIT_OBSERVABILITY_URL: recordings, spans, log lines and chat histories, joined with the
sessions that the stream tells of."""
