"""What the tests share: repositories, and the stand-ins of what can't run here."""
