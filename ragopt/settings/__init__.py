"""What an operator may set, table by table. `ragopt.config` reads them; nothing here touches the environment."""
