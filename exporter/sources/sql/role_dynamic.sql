
begin
  return query execute format({select},
    {found})
    using {arguments};
exception when others then
  raise exception using errcode = sqlstate, message = {schema}.complaint(sqlstate, sqlerrm);
end
