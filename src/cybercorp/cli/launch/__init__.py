"""The only place that starts programs: server, agent and dashboard in this process, or as supervised children."""
