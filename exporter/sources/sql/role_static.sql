
#variable_conflict use_column
begin
  return query
{select};
exception when others then
  raise exception using errcode = sqlstate, message = {schema}.complaint(sqlstate, sqlerrm);
end
