"""The Realtime server of the embedded stack: `server.RealtimeServer` is what the gateway mounts."""
