"""The bytes: files kept on disk, arriving from the upstream, or passed through."""
