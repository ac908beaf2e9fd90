"""The only room that writes SQL: connections, models, migrations, the bulk upsert, the ledger, what the stats count."""
