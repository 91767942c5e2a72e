exception when others then
  raise exception using errcode = sqlstate, message = {schema}.complaint(sqlstate, sqlerrm);
